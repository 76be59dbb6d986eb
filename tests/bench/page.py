"""The generated parts of a page: between `<!-- generated: NAME -->` and `<!-- end: NAME -->`; what is around them is written by
hand and stays.
"""
import re
import statistics


def markdown(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def put(text, name, block):
    """The page with that generated part exchanged."""
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise SystemExit(f"the page has no single place {begin} ... {end}")
    return pattern.sub(lambda _: f"{begin}\n{block}\n{end}", text)


def write(page, blocks):
    text = page.read_text()
    for name, block in blocks.items():
        text = put(text, name, block)
    page.write_text(text)


def machine_line(done):
    """When, what, and on what a run was made."""
    about = done["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in done["versions"].items())
    return (f"{about['date']}: {versions}; OpenSSL {about['openssl']}, {about['compiler']}; {about['system']}, kernel"
            f" {about['kernel']}; {about['cpus']} CPUs {about['cpu']}{' (a virtual machine)' if about['virtual'] else ''},"
            f" {about['memory_gb']} GB.")


def others_text(shares):
    """What the proxies' CPU did for somebody else while they were measured."""
    return f" Meanwhile others took {statistics.median(shares):.0%} of the proxies' CPU (median)." if shares else ""
