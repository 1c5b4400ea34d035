package main

import (
	"strconv"
	"testing"
)

func newUnreadInput(t *testing.T) *input {
	t.Helper()
	reader, writer, err := inputPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	created := newInput(writer, false)
	t.Cleanup(created.abandon)
	return created
}

func TestInputOfADeafCommandIsBoundedAndItsEndFreesWriters(t *testing.T) {
	in := newUnreadInput(t)
	client, turn, _ := in.open("client")
	never := make(chan struct{})
	const chunk, most = 32 << 10, 4 * maxQueuedInput
	refused := make(chan uint64)
	go func() {
		for accepted := uint64(0); ; {
			now, ok := in.write(client, turn, make([]byte, chunk), never)
			if !ok || now > most {
				refused <- accepted
				return
			}
			accepted = now
		}
	}()
	blocked := func() bool { in.mu.Lock(); defer in.mu.Unlock(); return in.room != nil }
	if !waitUntil(blocked) {
		t.Fatal("the queue has no bound")
	}
	in.abandon()
	if accepted := <-refused; accepted > most {
		t.Fatalf("%d bytes accepted for a command that reads none", accepted)
	}
}

func TestInputWaitEndsWithItsStream(t *testing.T) {
	in := newUnreadInput(t)
	client, turn, _ := in.open("")
	gone := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 64 {
			if _, ok := in.write(client, turn, make([]byte, maxFrame), gone); !ok {
				return
			}
		}
	}()
	close(gone)
	<-ended
}

func TestInputCountsGoOnWithTheClientsNextStream(t *testing.T) {
	in := newUnreadInput(t)
	first, turn, accepted := in.open("client")
	if accepted != 0 {
		t.Fatalf("a new client begins at %d", accepted)
	}
	if _, ok := in.write(first, turn, []byte("abc"), nil); !ok {
		t.Fatal("the input is refused")
	}
	second, later, accepted := in.open("client")
	if accepted != 3 {
		t.Fatalf("the next stream begins at %d, want 3", accepted)
	}
	if _, ok := in.write(first, turn, []byte("late"), nil); ok {
		t.Fatal("a stream that was replaced may still write")
	}
	if accepted, ok := in.write(second, later, []byte("d"), nil); !ok || accepted != 4 {
		t.Fatalf("%d accepted (%v), want 4", accepted, ok)
	}
}

func TestInputForgetsTheLongestUnusedWriters(t *testing.T) {
	in := newUnreadInput(t)
	loyal, turn, _ := in.open("loyal")
	in.write(loyal, turn, []byte("abc"), nil)
	for i := range 2 * maxWriters {
		in.open(strconv.Itoa(i))
		if _, _, accepted := in.open("loyal"); accepted != 3 {
			t.Fatalf("a client that comes back often is forgotten after %d others", i)
		}
	}
	if len(in.writers) != maxWriters || len(in.order) != maxWriters {
		t.Fatalf("%d writers are remembered in %d places, want %d", len(in.writers), len(in.order), maxWriters)
	}
}
