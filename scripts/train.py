"""The same as ``fusion-dfd train``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("train")
