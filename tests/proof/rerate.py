"""Rates everything again that `uni-manager ledger export --format csv` wrote down, and says the first thing that differs.

    rerate.py FOLDER ZONE

FOLDER holds wallets.csv, meters.csv, intervals.csv, prices.csv, charges.csv, postings.csv, invoices.csv and invoice-lines.csv,
each of one `--what`; ZONE is the time zone of the platform, whose months are billing months. It follows docs/money.md and shares nothing with the program but these
files: amounts are exact fractions, and the only rounding is the one that the document names.
"""

import csv
import sys
import zoneinfo
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from pathlib import Path

UTC = timezone.utc
HOUR = timedelta(hours=1)
INSTANT = timedelta(microseconds=1)
FOREVER = datetime.max.replace(tzinfo=UTC)


class Different(Exception):
    """Something does not agree; the text says what."""


def rows(folder, name):
    with open(Path(folder) / f"{name}.csv", newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def instant(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else FOREVER


def seconds(length):
    return Fraction(length // INSTANT, 1_000_000)


def full_hour(at):
    return at.replace(minute=0, second=0, microsecond=0)


def round6(price_seconds):
    """Price times seconds as money, in millionths: half to even. The one rounding there is."""
    return round(price_seconds / 3600 * 1_000_000)


def money(text):
    """A written amount in millionths."""
    millionths = Fraction(text) * 1_000_000
    if millionths.denominator != 1:
        raise Different(f"{text} has more than six places")
    return int(millionths)


def written(millionths):
    sign, whole = ("-" if millionths < 0 else ""), abs(millionths)
    return f"{sign}{whole // 1_000_000}.{whole % 1_000_000:06}"


class Months:
    """The months of a time zone."""

    def __init__(self, name):
        try:
            self.zone = UTC if name == "UTC" else zoneinfo.ZoneInfo(name)
        except zoneinfo.ZoneInfoNotFoundError:
            sys.exit(f"this Python knows no time zone {name}: install the package tzdata")

    def of(self, at):
        local = at.astimezone(self.zone)
        return local.year, local.month

    def end(self, at):
        year, month = self.of(at)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return datetime(year, month, 1, tzinfo=self.zone).astimezone(UTC)


class Prices:
    """What a thing costs on a list from when to when. A version of a list is in force until the next one begins."""

    def __init__(self, folder):
        versions, found = defaultdict(set), []
        for row in rows(folder, "prices"):
            begins = instant(row["effective_from"])
            versions[row["price_list"]].add(begins)
            found.append((begins, row))
        self.of = defaultdict(list)
        for begins, row in found:
            ends = min((later for later in versions[row["price_list"]] if later > begins), default=FOREVER)
            key = row["price_list"], row["kind"], row["plan"] or row["image"]
            cap = Fraction(row["monthly_cap"]) if row["monthly_cap"] else None
            self.of[key].append((begins, ends, row["price"], Fraction(row["hourly_rate"]), cap))
        for prices in self.of.values():
            prices.sort()


class Piece:
    """A time in which a meter had one price: rate and cap are of the whole quantity."""

    def __init__(self, begins, ends, price, quantity, rate, cap):
        self.begins, self.ends, self.price, self.quantity = begins, ends, price, quantity
        self.rate = rate * quantity
        self.cap = None if cap is None else cap * quantity


class Sum:
    """What a meter has run up in one month, in price times seconds, under the highest cap of the month."""

    def __init__(self):
        self.price_seconds, self.cap = Fraction(0), Fraction(0)

    def add(self, piece, length):
        self.cap = None if self.cap is None or piece.cap is None else max(self.cap, piece.cap)
        self.price_seconds += piece.rate * seconds(length)
        if self.cap is not None:
            self.price_seconds = min(self.price_seconds, 3600 * self.cap)


def pieces_of_meters(folder, prices, cursors):
    """The pieces of every meter up to where its wallet is charged, in the order of time."""
    pieces, owners = defaultdict(list), {}
    for row in rows(folder, "intervals"):
        owners[row["meter"]] = row["organisation"]
        begins, ends = instant(row["from"]), min(instant(row["to"]), cursors[row["organisation"]])
        covered = timedelta(0)
        for begin, end, price, rate, cap in prices.of[row["price_list"], row["kind"], row["plan"] or row["image"]]:
            begin, end = max(begin, begins), min(end, ends)
            if begin < end:
                covered += end - begin
                pieces[row["meter"]].append(Piece(begin, end, price, int(row["quantity"]), rate, cap))
        if row["kind"].startswith("vm_") and begins < ends and covered != ends - begins:
            raise Different(f"interval {row['interval']} has no price for some of its time")
    for of_meter in pieces.values():
        of_meter.sort(key=lambda piece: piece.begins)
        for one, next_one in zip(of_meter, of_meter[1:]):
            if next_one.begins < one.ends:
                raise Different(f"two intervals overlap at {next_one.begins}")
    return pieces, owners


def rated(pieces, months, cuts):
    """The charges that pieces must have: cut at full hours, at month starts, and where `cuts` says."""
    cuts, month, total = sorted(cuts), None, Sum()
    place = 0
    for piece in pieces:
        at = piece.begins
        while at < piece.ends:
            while place < len(cuts) and cuts[place] <= at:
                place += 1
            until = min(piece.ends, full_hour(at) + HOUR, months.end(at))
            if place < len(cuts):
                until = min(until, cuts[place])
            if months.of(at) != month:
                month, total = months.of(at), Sum()
            before = round6(total.price_seconds)
            total.add(piece, until - at)
            yield at, until, piece, round6(total.price_seconds) - before
            at = until


def rated_by_month(pieces, months):
    """What each month costs in all: not cut at hours, rounded once."""
    sums = defaultdict(Sum)
    for piece in pieces:
        at = piece.begins
        while at < piece.ends:
            until = min(piece.ends, months.end(at))
            sums[months.of(at)].add(piece, until - at)
            at = until
    return {month: round6(total.price_seconds) for month, total in sums.items()}


def compare_charges(folder, pieces, owners, months):
    """Every charge against what its piece costs; answers with the sums of each wallet's hours, and how many there were."""
    charges = defaultdict(list)
    for row in rows(folder, "charges"):
        if owners.get(row["meter"]) != row["organisation"]:
            raise Different(f"meter {row['meter']} is charged to {row['organisation']}, whose it is not")
        charges[row["meter"]].append(row)
    hours, count = defaultdict(int), 0
    for meter in sorted(pieces.keys() | charges.keys()):
        made = sorted(charges[meter], key=lambda row: row["from"])
        # Charging may stop in the middle of an hour, as when a credit ends: cutting there must not change anything.
        cuts = {instant(row["to"]) for row in made}
        wanted = list(rated(pieces[meter], months, cuts))
        by_month = defaultdict(int)
        for index in range(max(len(made), len(wanted))):
            if index == len(wanted):
                raise Different(f"meter {meter} is charged from {made[index]['from']} on for nothing")
            begins, ends, piece, amount = wanted[index]
            what = f"meter {meter} from {begins} to {ends}"
            if index == len(made):
                raise Different(f"{what} is not charged")
            row = made[index]
            if (instant(row["from"]), instant(row["to"])) != (begins, ends):
                raise Different(f"{what} is charged from {row['from']} to {row['to']}")
            if (row["price"], int(row["quantity"]), Fraction(row["rate"])) != (piece.price, piece.quantity, piece.rate):
                raise Different(f"{what} is charged {row['quantity']} times at {row['rate']} by price {row['price']}")
            if money(row["amount"]) != amount:
                raise Different(f"{what} is charged {row['amount']} and costs {written(amount)}")
            by_month[months.of(begins)] += money(row["amount"])
            hours[row["organisation"], full_hour(begins)] += money(row["amount"])
            count += 1
        if dict(by_month) != rated_by_month(pieces[meter], months):
            raise Different(f"the months of meter {meter} are not one rounding of their sums: {dict(by_month)}")
    return hours, count


def compare_postings(folder, hours, balances):
    """Every wallet's hour against what was posted for it, and every balance against all that was posted."""
    posted, proved = defaultdict(int), defaultdict(int)
    for row in rows(folder, "postings"):
        amount = money(row["amount"])
        for side, sign in (("debit", -1), ("credit", 1)):
            kind, _, organisation = row[side].partition(":")
            if kind == "wallet":
                proved[organisation] += sign * amount
        if row["code"] == "charge":
            organisation = row["debit"].removeprefix("wallet:")
            # A charge is posted at its end.
            posted[organisation, full_hour(instant(row["at"]) - INSTANT)] += amount
    for hour in sorted(hours.keys() | posted.keys()):
        if hours[hour] != posted[hour]:
            raise Different(f"{hour}: {written(hours[hour])} is charged and {written(posted[hour])} is posted")
    for organisation, balance in balances.items():
        if proved[organisation] != balance:
            raise Different(f"{organisation} has {written(balance)}, posted is {written(proved[organisation])}")


def half_even(amount, places):
    """An exact amount in millionths, rounded to the places of a currency."""
    unit = 10 ** (6 - places)
    return round(amount / unit) * unit


def compare_invoices(folder, months):
    """Every line against the charges of its machine's month, and every invoice's figures against its lines."""
    kinds = {row["price"]: row["kind"] for row in rows(folder, "prices")}
    machines = {row["meter"]: row["vm"] for row in rows(folder, "meters")}
    charged, invoiced, lines = defaultdict(Fraction), defaultdict(Fraction), defaultdict(list)
    for row in rows(folder, "charges"):
        month = "%04d-%02d" % months.of(instant(row["from"]))
        key = row["organisation"], month, machines[row["meter"]], kinds[row["price"]]
        charged[(*key, "amount")] += money(row["amount"])
        charged[(*key, "seconds")] += int(row["quantity"]) * seconds(instant(row["to"]) - instant(row["from"]))
    for row in rows(folder, "invoice-lines"):
        lines[row["invoice"]].append(row)
    count, seen = 0, set()
    for row in rows(folder, "invoices"):
        own, places, rate = lines.pop(row["invoice"]), int(row["places"]), Fraction(row["tax_rate"]) / 100
        seen.add((row["organisation"], row["month"]))
        exact = sum(money(line["amount"]) for line in own)
        gross = half_even(Fraction(exact), places)
        rounding = gross - sum(half_even(Fraction(money(line["amount"])), places) for line in own)
        tax = half_even(Fraction(gross) * rate / (1 + rate), places)
        figures = {"exact": exact, "rounding": rounding, "net": gross - tax, "tax": tax, "gross": gross}
        for name, figure in figures.items():
            if money(row[name]) != figure:
                raise Different(f"the {name} of invoice {row['number']} is {row[name]} and not {written(figure)}")
        for line in own:
            key = row["organisation"], row["month"], line["vm"], line["kind"]
            invoiced[(*key, "amount")] += money(line["amount"])
            invoiced[(*key, "seconds")] += Fraction(line["unit_seconds"])
        count += 1
    if lines:
        raise Different(f"lines belong to no invoice: {next(iter(lines))}")
    # A month that is not invoiced is still to come; one that is has all of its charges on its invoices.
    for key in sorted(charged.keys() | invoiced.keys()):
        if key[:2] in seen and charged[key] != invoiced[key]:
            raise Different(f"{key} is charged {charged[key]} and invoiced {invoiced[key]}")
    return count


def main(folder, zone):
    cursors, balances = {}, {}
    for row in rows(folder, "wallets"):
        cursors[row["organisation"]] = instant(row["charged_through"])
        balances[row["organisation"]] = money(row["balance"])
    months = Months(zone)
    try:
        pieces, owners = pieces_of_meters(folder, Prices(folder), cursors)
        hours, count = compare_charges(folder, pieces, owners, months)
        compare_postings(folder, hours, balances)
        invoices = compare_invoices(folder, months)
    except Different as difference:
        sys.exit(str(difference))
    print(f"{count} charges of {len(pieces)} meters, {len(hours)} hours, {len(balances)} balances and {invoices} invoices agree")


main(*sys.argv[1:])
