"""The product: search, cache, report; everything that knows Ray, files or the user."""
