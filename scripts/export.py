"""The same as ``fusion-dfd export``."""

from fusion_dfd import cli

if __name__ == "__main__":
    cli.command("export")
