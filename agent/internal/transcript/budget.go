package transcript

import "sync/atomic"

// Budget bounds the memory that the transcripts of all commands take together.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget makes a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// take reserves bytes; with must it does so even beyond the limit.
func (b *Budget) take(bytes int, must bool) bool {
	if b.used.Add(int64(bytes)) <= b.limit || must {
		return true
	}
	b.used.Add(-int64(bytes))
	return false
}

func (b *Budget) give(bytes int) { b.used.Add(-int64(bytes)) }

// Tight reports whether less than a quarter is left.
func (b *Budget) Tight() bool { return b.used.Load() > b.limit/4*3 }
