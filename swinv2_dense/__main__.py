"""`python -m swinv2_dense COMMAND`."""

from .cli.main import main

if __name__ == '__main__':
    main()
