"""Loads a journal with beancount, which checks every transaction and every asserted balance, and prints what each account
holds: account, tab, amount. Ends with 1 and beancount's words when something is wrong."""

import sys

from beancount import loader
from beancount.core import data
from beancount.core.inventory import Inventory
from beancount.parser import printer


def main(path):
    entries, errors, _ = loader.load_file(path)
    if errors:
        printer.print_errors(errors, file=sys.stderr)
        return 1
    held = {}
    for entry in entries:
        if isinstance(entry, data.Transaction):
            for posting in entry.postings:
                held.setdefault(posting.account, Inventory()).add_position(posting)
    for account, inventory in sorted(held.items()):
        for position in inventory:
            print(f"{account}\t{position.units.number:f} {position.units.currency}")
    return 0


sys.exit(main(sys.argv[1]))
