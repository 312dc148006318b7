"""The same as ``fusion-dfd sample``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("sample")
