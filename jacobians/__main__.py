"""``python -m jacobians``, the same as the command ``jacobians``."""

from jacobians.cli import main

if __name__ == "__main__":
    main()
