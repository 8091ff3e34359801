"""The best trial taken home: a Keras model, other formats of it, its card, predictions."""
