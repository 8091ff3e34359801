"""Networks as Keras 3 code: no Ray, no files of the user."""
