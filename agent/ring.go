package main

// A stream tells which output of a command bytes came from.
type stream byte

const (
	stdout stream = 1
	stderr stream = 2
)

const (
	ringFirstSize    = 4 << 10
	maxSegmentLength = 1<<30 - 1
)

// segment is a run of bytes of one stream: two bits of stream, 30 of length.
type segment uint32

func newSegment(kind stream, length int) segment { return segment(kind)<<30 | segment(length) }
func (s segment) stream() stream                 { return stream(s >> 30) }
func (s segment) length() int                    { return int(s & maxSegmentLength) }

// ring keeps the last output of a command, both streams in arrival order, in
// at most limit bytes. Memory is taken as output comes.
type ring struct {
	data      []byte
	start     int // index in data of the oldest byte
	used      int
	segments  []segment
	oldest    int    // index in segments of the first one kept
	offset    uint64 // position of the oldest byte in everything ever written
	limit     int
	budget    *budget
	truncated bool
}

func newRing(limit int, budget *budget) *ring { return &ring{limit: limit, budget: budget} }

// append adds bytes of one stream; the oldest bytes make room.
func (r *ring) append(kind stream, data []byte) {
	if len(data) == 0 || r.limit == 0 {
		return
	}
	r.grow(r.used + len(data))
	size := len(r.data)
	if excess := len(data) - size; excess > 0 {
		r.drop(r.used)
		r.offset += uint64(excess)
		r.truncated = true
		data = data[excess:]
	}
	r.drop(r.used + len(data) - size)
	end := (r.start + r.used) % size
	copied := copy(r.data[end:], data)
	copy(r.data, data[copied:])
	r.used += len(data)
	r.record(kind, len(data))
}

func (r *ring) record(kind stream, length int) {
	if last := len(r.segments) - 1; last >= r.oldest {
		if tail := r.segments[last]; tail.stream() == kind && tail.length()+length <= maxSegmentLength {
			r.segments[last] = newSegment(kind, tail.length()+length)
			return
		}
	}
	// The list of segments may take as much memory as the bytes, not more.
	if len(r.segments)-r.oldest >= max(r.limit/4, 16) {
		r.drop(r.segments[r.oldest].length())
	}
	if r.oldest > 64 && r.oldest > len(r.segments)/2 {
		r.segments = r.segments[:copy(r.segments, r.segments[r.oldest:])]
		r.oldest = 0
	}
	r.segments = append(r.segments, newSegment(kind, length))
}

// drop forgets the oldest count bytes.
func (r *ring) drop(count int) {
	if count <= 0 {
		return
	}
	r.truncated = true
	r.offset += uint64(count)
	r.start = (r.start + count) % len(r.data)
	r.used -= count
	for count > 0 {
		first := r.segments[r.oldest]
		if first.length() > count {
			r.segments[r.oldest] = newSegment(first.stream(), first.length()-count)
			return
		}
		count -= first.length()
		r.oldest++
	}
}

// grow makes room for wanted bytes as far as limit and budget allow.
func (r *ring) grow(wanted int) {
	if r.data == nil {
		r.data = make([]byte, min(ringFirstSize, r.limit))
		r.budget.take(len(r.data), true)
	}
	size := len(r.data)
	if size >= wanted || size >= r.limit {
		return
	}
	next := size
	for next < wanted && next < r.limit {
		next *= 2
	}
	next = min(next, r.limit)
	if !r.budget.take(next-size, false) {
		return
	}
	larger := make([]byte, next)
	copied := copy(larger, r.data[r.start:min(r.start+r.used, size)])
	copy(larger[copied:r.used], r.data)
	r.data, r.start = larger, 0
}

// each visits what is kept, oldest first, in pieces of one stream.
func (r *ring) each(visit func(kind stream, data []byte)) {
	position := r.start
	for _, run := range r.segments[r.oldest:] {
		for left := run.length(); left > 0; {
			step := min(left, len(r.data)-position)
			visit(run.stream(), r.data[position:position+step])
			position = (position + step) % len(r.data)
			left -= step
		}
	}
}

// split returns copies of what is kept of each stream.
func (r *ring) split() (out, err []byte) {
	sizes := [4]int{}
	for _, run := range r.segments[r.oldest:] {
		sizes[run.stream()] += run.length()
	}
	out = make([]byte, 0, sizes[stdout])
	err = make([]byte, 0, sizes[stderr])
	r.each(func(kind stream, data []byte) {
		if kind == stdout {
			out = append(out, data...)
		} else {
			err = append(err, data...)
		}
	})
	return out, err
}

// discard frees the ring; later output is dropped.
func (r *ring) discard() {
	r.budget.give(len(r.data))
	*r = ring{budget: r.budget}
}
