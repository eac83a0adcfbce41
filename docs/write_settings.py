"""Write docs/settings.md from the code: python docs/write_settings.py."""

from pathlib import Path

from jecur.settings.reference import settings_page

if __name__ == "__main__":
    (Path(__file__).parent / "settings.md").write_text(settings_page(), encoding="utf-8")
