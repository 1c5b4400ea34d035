package main

import "sync/atomic"

// budget bounds the memory that all output buffers take together, in bytes.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take reserves bytes; a must is granted even beyond the limit.
func (b *budget) take(bytes int, must bool) bool {
	if b.used.Add(int64(bytes)) <= b.limit || must {
		return true
	}
	b.used.Add(-int64(bytes))
	return false
}

func (b *budget) give(bytes int) { b.used.Add(-int64(bytes)) }

// tight tells whether less than a quarter is left.
func (b *budget) tight() bool { return b.used.Load() > b.limit/4*3 }
