-- Operators change prices themselves: a version is announced to the customers concerned before it begins, and one that has not
-- begun may be withdrawn. A withdrawn version stays as a record and was never in force.
alter table price_list_versions
    drop constraint price_list_versions_one_at_a_time,
    -- Why a rise needed no notice.
    add column reason text not null default '',
    add column withdrawn_at timestamptz,
    add column withdrawn_by uuid references users (id),
    -- Since when customers are being told, how many were, and up to which organisation; null where there is nothing to tell.
    add column announcing_since timestamptz,
    add column announced_to integer not null default 0,
    add column announced_through uuid;
create unique index price_list_versions_one_at_a_time on price_list_versions (price_list_id, effective_from) where withdrawn_at is null;
create index price_list_versions_to_announce on price_list_versions (announcing_since) where announcing_since is not null and announced_at is null;

create or replace view price_list_periods as
    select id, price_list_id, number,
           tstzrange(effective_from, lead(effective_from) over (partition by price_list_id order by effective_from)) as during
    from price_list_versions where withdrawn_at is null;

-- Who is on a list, when its prices change.
create index organisations_by_price_list on organisations (price_list_id) where price_list_id is not null;
