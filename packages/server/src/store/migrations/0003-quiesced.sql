alter table checkpoints add column quiesced integer; -- 0: its guest was saved as it was; null: not known
