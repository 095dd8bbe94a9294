"""The viewer: what happened in a trace, a simulator seed or a recording, as one page for a browser.

    trace, seed, recording ─> Timeline ─> compact JSON ─> one HTML file

Read in this order: `timeline` (the data), `from_trace`, `from_seed` and `from_recording` (who fills it in), `encoding`
and `page` (how it gets into the file), `page.html`, `page.css` and the scripts (what the reader sees).
"""
