import sys
from pathlib import Path

# With importlib import mode, a helper module beside the tests is found only like this.
sys.path.insert(0, str(Path(__file__).parent))
