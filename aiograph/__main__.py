"""`python -m aiograph`, where the script `aiograph` is not on the path."""

from aiograph.cli import main

if __name__ == "__main__":
    main()
