"""The same as ``fusion-dfd tune``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("tune")
