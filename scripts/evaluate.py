"""The same as ``fusion-dfd evaluate``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("evaluate")
