package session

import (
	"strconv"
	"testing"
	"time"
)

func newUnreadInput(t *testing.T) *input {
	t.Helper()
	reader, writer, _, err := inputPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	created := newInput(writer, false, func([]byte) {})
	t.Cleanup(created.abandon)
	return created
}

func TestInputOfADeafCommandIsBoundedAndItsEndFreesWriters(t *testing.T) {
	in := newUnreadInput(t)
	client, _ := in.open("client")
	never := make(chan struct{})
	const chunk, most = 32 << 10, 4 * maxQueuedInput
	refused := make(chan uint64)
	go func() {
		for accepted := uint64(0); ; {
			now, ok := client.Write(make([]byte, chunk), never)
			if !ok || now > most {
				refused <- accepted
				return
			}
			accepted = now
		}
	}()
	blocked := func() bool { in.mu.Lock(); defer in.mu.Unlock(); return in.room != nil }
	// Real time: the pause between two looks.
	for deadline := time.Now().Add(time.Minute); !blocked(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the queue has no bound")
		}
	}
	in.abandon()
	if accepted := <-refused; accepted > most {
		t.Fatalf("%d bytes accepted for a command that reads none", accepted)
	}
}

func TestInputWaitEndsWithItsStream(t *testing.T) {
	in := newUnreadInput(t)
	client, _ := in.open("")
	gone := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 64 {
			if _, ok := client.Write(make([]byte, 64<<10), gone); !ok {
				return
			}
		}
	}()
	close(gone)
	<-ended
}

func TestInputCountsGoOnWithTheClientsNextStream(t *testing.T) {
	in := newUnreadInput(t)
	first, accepted := in.open("client")
	if accepted != 0 {
		t.Fatalf("a new client begins at %d", accepted)
	}
	if _, ok := first.Write([]byte("abc"), nil); !ok {
		t.Fatal("the input is refused")
	}
	second, accepted := in.open("client")
	if accepted != 3 {
		t.Fatalf("the next stream begins at %d, want 3", accepted)
	}
	if _, ok := first.Write([]byte("late"), nil); ok {
		t.Fatal("a stream that was replaced may still write")
	}
	if accepted, ok := second.Write([]byte("d"), nil); !ok || accepted != 4 {
		t.Fatalf("%d accepted (%v), want 4", accepted, ok)
	}
}

func TestInputForgetsTheLongestUnusedClients(t *testing.T) {
	in := newUnreadInput(t)
	loyal, _ := in.open("loyal")
	loyal.Write([]byte("abc"), nil)
	for i := range 2 * maxClients {
		in.open(strconv.Itoa(i))
		if _, accepted := in.open("loyal"); accepted != 3 {
			t.Fatalf("a client that comes back often is forgotten after %d others", i)
		}
	}
	if len(in.clients) != maxClients || len(in.order) != maxClients {
		t.Fatalf("%d clients are remembered in %d places, want %d", len(in.clients), len(in.order), maxClients)
	}
}
