"""For programs of tests that must do without this project."""

# Goes before the program: from then on its packages cannot be imported, installed or not.
AWAY = """
import sys
class Away:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("models", "search_spaces", "tuning"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Away())
"""
