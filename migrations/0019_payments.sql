-- Invoices, Stripe's view of them, and the events that Stripe has sent.

-- A request to the customer to pay for a job. What is `pending` is done by the worker; a claim is a lease until
-- `next_attempt_at`.
create table stm.invoices (
    id bigint generated always as identity primary key,
    job_id bigint not null references stm.jobs (id),
    provider_id bigint not null references stm.providers (id),
    amount_cents bigint not null check (amount_cents > 0),
    status text not null
        check (status in ('pending_creation', 'open', 'failed', 'paid', 'pending_void', 'void', 'refunded')),
    via_stripe boolean not null,  -- false: the customer pays the provider directly
    idempotency_key uuid not null default stm.uuid_v7(),  -- replaced when Stripe has kept a failure under it
    stripe_customer_id text,
    stripe_invoice_id text,
    stripe_url text,  -- the page where the customer pays
    stripe_pdf_url text,
    times_asked integer not null default 0 check (times_asked >= 0),  -- how often the customer was asked
    attempts integer not null default 0 check (attempts >= 0),
    next_attempt_at timestamptz not null default now(),
    last_error text,
    refunded_cents bigint not null default 0 check (refunded_cents between 0 and amount_cents),
    payment_failed_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint invoices_once_per_job unique (job_id),
    constraint invoices_stripe_invoice_id unique (stripe_invoice_id),
    constraint invoices_pending_is_for_stripe check (via_stripe or status in ('open', 'paid'))
);
create index invoices_provider_id on stm.invoices (provider_id, id desc);
create index invoices_due on stm.invoices (next_attempt_at, id) where status in ('pending_creation', 'pending_void');

-- Whoever marks a job as paid, its open invoice is not to be paid as well. Stripe's own payment has set the status first.
create function stm.job_paid() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    update stm.invoices
    set status = case when not via_stripe then 'paid'
                      when status = 'failed' and stripe_invoice_id is null then 'void'
                      else 'pending_void' end,
        attempts = 0, next_attempt_at = now(), last_error = null, updated_at = now()
    where job_id = new.id and status in ('pending_creation', 'open', 'failed');
    return null;
end;
$$;
revoke all on function stm.job_paid() from public;

create trigger job_paid after update of status on stm.jobs
    for each row when (new.status = 'paid' and old.status <> 'paid')
    execute function stm.job_paid();

-- The events that were acted upon. Stripe repeats each for days, until it is answered.
create table stm.stripe_events (
    id text primary key check (length(id) between 1 and 255),
    type text not null,
    invoice_id bigint not null references stm.invoices (id),
    refusal text,  -- why it was not applied
    received_at timestamptz not null default now()
);
create index stripe_events_invoice_id on stm.stripe_events (invoice_id);

alter table stm.invoices enable row level security;
alter table stm.stripe_events enable row level security;
