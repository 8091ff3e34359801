"""A run's best model behind a page and an HTTP endpoint, on this machine only.

`__main__` is the command, `app` the answers, `page.*` what the browser gets.
"""
