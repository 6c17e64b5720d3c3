"""Reads files as Groovy 3, the language of Jenkinsfiles, by its public grammar; fails with the place of the first fault of each."""

import sys

from groovy_parser.parser import create_groovy_parser
from groovy_parser.tokenizer import GroovyRestrictedTokenizer
from lark.exceptions import LarkError

parser = create_groovy_parser()
faults = 0
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        tokens = list(GroovyRestrictedTokenizer().get_tokens(file.read()))
    try:
        parser.parse(tokens)
    except LarkError as fault:
        faults += 1
        print(f"{path}: {fault}", file=sys.stderr)
sys.exit(1 if faults else 0)
