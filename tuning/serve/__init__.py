"""A run's best model behind a page and an HTTP endpoint, on this machine only.

`__main__` is the command, `app` what is answered, `server` how, `page.*` what the browser gets.
"""
