"""`python -m aiograph.cli`, for where the console script is not on the path."""

from aiograph.cli import main

if __name__ == "__main__":
    main()
