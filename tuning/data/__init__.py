"""Picture folders to arrays and labels."""
