"""Every published number that a text of normviz may hold, by its source, and a search for numbers without a source.

The numbers are typed from the papers. tests/labs/test_published.py compares the tables of the lab with the papers, and
`test_published_numbers.py` this list with the lab and every text with this list.
"""

import re

WU_HE = {
    "1": "23.6 25.3 28.4 24.1",
    "2": "23.6 23.7 24.8 27.3 34.7 24.1 24.2 24.0 0.5 0.8",  # the last two: between Batch and Group Norm
    "3": "24.6 24.1 24.4 24.7 25.3 24.5 24.2 24.3 24.8 25.6 28.4",
    "4": "37.7 32.8 38.8 33.6 1.1",  # the last one: between frozen Batch Norm and Group Norm, as in the next two
    "5": "38.6 34.2 39.5 34.4 40.0 34.8 1.4 0.9",
    "6": "38.6 34.5 40.3 35.7 40.8 36.1 40.9 36.4 41.8 36.8 42.3 37.2 1.7 2.2 0.9",
}
"""Wu & He 2018, by table."""
OTHERS = {
    r"Wu & He.*in (?:its|the) text": "26.3 22.0 22.4 31.9 23.0",
    r"Luo et al\.": "76.4 76.3 75.2 72.7 65.3 75.9 75.8 76.0 76.9 76.7 75.6 0.5",
    r"authors['’] repository": "23.72 6.99 22.10 6.07",
    r"Singh & Krishnan": "22.8 23.8 1.0",
    r"FRN-on-common-ImageNet-baseline|reproduction": "24.0 23.6 0.4",
    r"filter responses of photographs": "4.4",
}
"""The other sources, by a pattern of their name."""
TABLES = re.compile(r"Tables? ([1-6]\b(?!\.\d)(?:(?:, | and | to |, and )[1-6]\b(?!\.\d))*)")
DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)")


def published(text: str) -> set[str]:
    """The numbers of all sources that a text names."""
    plain = re.sub(r"[()\[\]]", "", text)
    found = [numbers for source, numbers in OTHERS.items() if re.search(source, plain)]
    if "Wu & He" in plain:
        for tables in TABLES.findall(plain):
            first, *rest = re.findall(r"\d", tables)
            named = range(int(first), int(rest[0]) + 1) if " to " in tables else map(int, (first, *rest))
            found += [WU_HE[str(table)] for table in named]
    return set(" ".join(found).split())


def without_source(text: str) -> set[str]:
    """The decimal numbers of a text that none of its sources has."""
    return set(DECIMAL.findall(text)) - published(text)


def prose(markdown: str) -> list[str]:
    """The paragraphs and tables of a page in Markdown, without code, links and addresses.

    A table belongs to the paragraph before it, where its source stands, and to the one after it.
    """
    text = re.sub(r"(?ms)^ *(```+).*?^ *\1|`[^`\n]+`|\]\([^)\s]*\)|https?://\S+", " ", markdown)
    blocks = [block for block in re.split(r"\n\s*\n", text) if block.strip()]
    tables = [block.lstrip().startswith("|") for block in blocks]
    return [" ".join(blocks[max(k - 1, 0) : k + 2]) if tables[k] else block for k, block in enumerate(blocks)]
