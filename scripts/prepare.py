"""The same as ``fusion-dfd prepare``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("prepare")
