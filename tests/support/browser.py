"""Open a page in headless Chromium and run a script in it."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable')
ERRORS = """
<script>
window.faults = [];
window.addEventListener('error', (event) => {
  window.faults.push(String(event.message || event.target.src));
}, true);
console.error = (...words) => window.faults.push(words.join(' '));
</script>
"""


def run_in_page(page: Path, script: str, width: int = 1280) -> dict:
    """The object that a script returns, and `faults`: errors on the page and failed loads.

    Skips the test where there is no Chromium.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip('needs Chromium in PATH')
    text = page.read_text()
    probe = f"""
<script>
window.addEventListener('load', () => setTimeout(() => {{
  let found;
  try {{
    found = (function () {{ {script} }})();
  }} catch (error) {{
    window.faults.push(String(error));
  }}
  const result = document.createElement('pre');
  result.id = 'result';
  result.textContent = JSON.stringify({{ ...found, faults: window.faults }});
  document.body.append(result);
}}, 100));
</script>
</body>"""
    copy = page.with_name('probe.html')
    copy.write_text(text.replace('<head>', '<head>' + ERRORS).replace('</body>', probe))
    try:
        flags = ['--headless', '--no-sandbox', '--disable-gpu', '--virtual-time-budget=4000']
        command = [program, *flags, f'--window-size={width},900', '--dump-dom', copy.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    finally:
        copy.unlink()
    match = re.search('<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stderr[-2000:]
    return json.loads(html.unescape(match[1]))
