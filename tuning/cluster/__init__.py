"""The Ray cluster: joining it, sharing it out, building features on all of it."""
