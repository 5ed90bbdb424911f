-- Who may be the same person although no number says so. The index is on disk: it holds only the
-- open and paid applications of those who may lack a number.

ALTER TABLE applications ADD COLUMN alike BLOB;  -- keyed digest of name, birth date and benefit
CREATE INDEX applications_alike ON applications (alike) WHERE alike IS NOT NULL AND open > 0;
