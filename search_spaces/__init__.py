"""What may be tuned: no Ray, no training."""
