package agenttest

import (
	"io"
	"strings"
	"sync"
)

// StuckBody sends some bytes and then blocks until it is released.
type StuckBody struct {
	Sent chan struct{} // closed when there is no more to send
	Err  error         // what ends the body; io.EOF for a clean end

	first   io.Reader
	release chan struct{}
	once    sync.Once
}

// NewStuckBody makes a body that begins with first.
func NewStuckBody(first string) *StuckBody {
	return &StuckBody{first: strings.NewReader(first), Sent: make(chan struct{}), release: make(chan struct{}), Err: io.EOF}
}

// Close is called by the client when the answer comes before the body's end.
func (b *StuckBody) Close() error {
	b.once.Do(func() { close(b.release) })
	return nil
}

func (b *StuckBody) Read(into []byte) (int, error) {
	if count, _ := b.first.Read(into); count > 0 {
		return count, nil
	}
	select {
	case <-b.Sent:
	default:
		close(b.Sent)
	}
	<-b.release
	return 0, b.Err
}
