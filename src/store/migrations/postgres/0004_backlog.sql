-- What a scrape reads must not grow with what waits.

-- How many wait and how many are parked, of each party. Who changes that holds the row of `log`: here
-- nobody waits who does not wait there.
CREATE TABLE outbox (
  party text PRIMARY KEY,
  waiting bigint NOT NULL,
  parked bigint NOT NULL
);
INSERT INTO outbox SELECT party, count(*) FILTER (WHERE state <> 3), count(*) FILTER (WHERE state = 3)
  FROM deliveries WHERE state <> 2 AND state <> 5 GROUP BY party;

-- The oldest that waits, of each party.
CREATE INDEX deliveries_waiting ON deliveries (party, created) WHERE state IN (0, 1, 4);
