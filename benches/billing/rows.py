"""One hour charged as the usual FastAPI and Celery stacks do it: objects of SQLAlchemy, row by row, a commit per customer.

It writes what the engine writes: a charge and the sums of each meter, a transfer and the balance of each wallet. It knows,
as the hand-written statement does, that every machine ran for the whole hour at one price.

Usage: rows.py URL FROM TO CUSTOMERS. Prints the machines and the seconds.
"""

import sys
import time
import uuid
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from sqlalchemy import ForeignKey, create_engine, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

REVENUE = uuid.UUID("00000000-0000-7000-8000-000000000001")
MICRO = Decimal("0.000001")


class Base(DeclarativeBase):
    pass


class Price(Base):
    __tablename__ = "prices"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    price_list_version_id: Mapped[uuid.UUID]
    kind: Mapped[str]
    plan_id: Mapped[uuid.UUID | None]
    hourly_rate: Mapped[Decimal]
    monthly_cap: Mapped[Decimal | None]


class Version(Base):
    __tablename__ = "price_list_versions"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    price_list_id: Mapped[uuid.UUID]
    effective_from: Mapped[datetime]


class Wallet(Base):
    __tablename__ = "wallets"
    organisation_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    account_id: Mapped[uuid.UUID]
    balance: Mapped[Decimal]
    charged_through: Mapped[datetime]
    burn: Mapped[Decimal]
    runs_out_at: Mapped[datetime | None]
    charging_error: Mapped[str | None]
    meters: Mapped[list["Meter"]] = relationship(back_populates="wallet")


class Meter(Base):
    __tablename__ = "meters"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("wallets.organisation_id"))
    month: Mapped[date]
    accrued: Mapped[Decimal]
    cap: Mapped[Decimal | None]
    accrued_through: Mapped[datetime]
    wallet: Mapped[Wallet] = relationship(back_populates="meters")


class Interval(Base):
    __tablename__ = "meter_intervals"
    id: Mapped[int] = mapped_column(primary_key=True)
    meter_id: Mapped[uuid.UUID]
    kind: Mapped[str]
    plan_id: Mapped[uuid.UUID | None]
    price_list_id: Mapped[uuid.UUID]
    quantity: Mapped[int]
    settled: Mapped[bool]


class Charge(Base):
    __tablename__ = "charges"
    organisation_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    period_start: Mapped[datetime] = mapped_column(primary_key=True)
    meter_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    price_id: Mapped[uuid.UUID]
    period_end: Mapped[datetime]
    quantity: Mapped[int]
    rate: Mapped[Decimal]
    amount: Mapped[Decimal]


class Transfer(Base):
    __tablename__ = "transfers"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    posting: Mapped[uuid.UUID]
    debit_account: Mapped[uuid.UUID]
    credit_account: Mapped[uuid.UUID]
    amount: Mapped[Decimal]
    code: Mapped[str]
    source: Mapped[str]
    at: Mapped[datetime]
    memo: Mapped[str]


def round6(amount: Decimal) -> Decimal:
    return amount.quantize(MICRO, rounding=ROUND_HALF_EVEN)


def charge_meter(session: Session, meter: Meter, begin: datetime, end: datetime) -> Decimal:
    interval = session.scalars(
        select(Interval).where(Interval.meter_id == meter.id, Interval.settled.is_(False))
    ).one()
    price = session.scalars(
        select(Price)
        .join(Version, Version.id == Price.price_list_version_id)
        .where(
            Version.price_list_id == interval.price_list_id,
            Version.effective_from <= begin,
            Price.kind == interval.kind,
            Price.plan_id == interval.plan_id,
        )
        .order_by(Version.effective_from.desc())
        .limit(1)
    ).one()
    cap = max(meter.cap or Decimal(0), price.monthly_cap or Decimal(0))
    before, after = (
        min(meter.accrued + price.hourly_rate * Decimal((at - meter.accrued_through).total_seconds()), cap * 3600)
        for at in (begin, end)
    )
    amount = round6(after / 3600) - round6(before / 3600)
    session.add(
        Charge(
            organisation_id=meter.organisation_id,
            meter_id=meter.id,
            price_id=price.id,
            period_start=begin,
            period_end=end,
            quantity=interval.quantity,
            rate=price.hourly_rate,
            amount=amount,
        )
    )
    session.flush()
    return amount


def charge_wallet(session: Session, organisation: uuid.UUID, begin: datetime, end: datetime) -> int:
    wallet = session.get(Wallet, organisation, with_for_update=True)
    total = sum((charge_meter(session, meter, begin, end) for meter in wallet.meters), Decimal(0))
    transfer = uuid.uuid4()
    session.add(
        Transfer(
            id=transfer,
            posting=transfer,
            debit_account=wallet.account_id,
            credit_account=REVENUE,
            amount=total,
            code="charge",
            source=f"charge:{organisation}:{begin:%Y-%m-%dT%H:%M:%SZ}",
            at=end,
            memo=f"VMs, {begin.day} {begin:%b %H:%M}–{end:%H:%M} UTC",
        )
    )
    wallet.balance -= total
    wallet.charged_through = end
    wallet.runs_out_at = end + timedelta(hours=float(wallet.balance / wallet.burn))
    wallet.charging_error = None
    machines = len(wallet.meters)
    session.commit()
    return machines


def main() -> None:
    url, begin, end, customers = sys.argv[1:]
    begin, end = datetime.fromisoformat(begin), datetime.fromisoformat(end)
    engine = create_engine(url.replace("postgres://", "postgresql+psycopg://", 1))
    with Session(engine) as session:
        session.execute(text("set time zone 'UTC'"))
        organisations = session.scalars(
            select(Wallet.organisation_id)
            .where(Wallet.charged_through < end)
            .order_by(Wallet.organisation_id)
            .limit(int(customers))
        ).all()
        session.commit()
        start = time.perf_counter()
        machines = sum(charge_wallet(session, organisation, begin, end) for organisation in organisations)
        print(machines, time.perf_counter() - start)


if __name__ == "__main__":
    main()
