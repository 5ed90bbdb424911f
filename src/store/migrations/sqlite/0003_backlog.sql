-- What a start and a lease read must not grow with what is stored or what waits.

-- The indexes in memory are filled from these alone, without the rows.
CREATE INDEX idempotency_key ON idempotency (seq, substr(key, 1, 8));
DROP INDEX applications_open;
CREATE INDEX applications_open ON applications (seq, benefits) WHERE open > 0;

-- The few that are being sent, for the start after a death.
CREATE INDEX deliveries_leased ON deliveries (seq) WHERE state = 1;
-- The oldest that waits, of each party.
CREATE INDEX deliveries_waiting ON deliveries (party, seq) WHERE state IN (0, 1);

-- From now on `due` is the end of time while an earlier delivery of the application to the party
-- is not delivered: what is held back is not looked at by each lease.
UPDATE deliveries SET due = 9223372036854775807 WHERE state = 0 AND EXISTS (
  SELECT 1 FROM deliveries e WHERE e.application = deliveries.application
  AND e.party = deliveries.party AND e.seq < deliveries.seq AND e.state IN (0, 1, 3));

-- How many wait and how many are parked, of each party; counting a million is no work for a scrape.
CREATE TABLE outbox (
  party TEXT PRIMARY KEY,
  waiting INTEGER NOT NULL,
  parked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO outbox SELECT party, sum(state IN (0, 1)), sum(state = 3) FROM deliveries
  WHERE state IN (0, 1, 3) GROUP BY party;
CREATE TRIGGER deliveries_added AFTER INSERT ON deliveries BEGIN
  INSERT INTO outbox VALUES (NEW.party, NEW.state IN (0, 1), NEW.state = 3)
    ON CONFLICT (party) DO UPDATE SET
      waiting = waiting + excluded.waiting, parked = parked + excluded.parked;
END;
CREATE TRIGGER deliveries_moved AFTER UPDATE OF state ON deliveries
  WHEN (OLD.state IN (0, 1)) <> (NEW.state IN (0, 1)) OR (OLD.state = 3) <> (NEW.state = 3) BEGIN
  UPDATE outbox SET
    waiting = waiting + (NEW.state IN (0, 1)) - (OLD.state IN (0, 1)),
    parked = parked + (NEW.state = 3) - (OLD.state = 3)
    WHERE party = NEW.party;
END;
CREATE TRIGGER deliveries_removed AFTER DELETE ON deliveries WHEN OLD.state IN (0, 1, 3) BEGIN
  UPDATE outbox SET waiting = waiting - (OLD.state IN (0, 1)), parked = parked - (OLD.state = 3)
    WHERE party = OLD.party;
END;
