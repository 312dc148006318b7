"""The same as ``fusion-dfd predict``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("predict")
