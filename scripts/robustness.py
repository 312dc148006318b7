"""The same as ``fusion-dfd robustness``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("robustness")
