package session

import (
	"os"
	"slices"
	"sync"
)

// maxQueuedInput bounds the input that waits for a command, in bytes. One more
// frame may be queued.
const maxQueuedInput = 256 << 10

// maxClients is for how many clients a command remembers how much they have sent.
const maxClients = 256

// input is the input that clients write to a command. It outlives their
// connections.
type input struct {
	file     *os.File
	terminal bool
	inode    uint64            // of the pipe
	heard    func(data []byte) // called with accepted input

	mu      sync.Mutex
	queue   [][]byte
	queued  int
	ended   bool // no more is accepted
	broken  bool // the command reads no more: further input is dropped
	writing bool // a goroutine is emptying the queue
	room    chan struct{}
	clients map[string]*client
	order   []string // names of clients, the one unused for longest first
}

// client is the state of one client's input. A client may reconnect; only its
// newest connection may write.
type client struct {
	accepted uint64
	turn     uint64
}

// Writer is a connection by which a client writes to a command.
type Writer struct {
	input  *input
	client *client
	turn   uint64
}

// OpenInput makes a new connection the writer of a client, which has a name if it
// may reconnect. It returns how many bytes of the client's input have been
// accepted before. The writer is nil for a command without input.
func (s *Session) OpenInput(name string) (w *Writer, accepted uint64) {
	if s.input == nil {
		return nil, 0
	}
	return s.input.open(name)
}

func newInput(file *os.File, terminal bool, heard func(data []byte)) *input {
	return &input{file: file, terminal: terminal, heard: heard, clients: make(map[string]*client)}
}

func (i *input) open(name string) (w *Writer, accepted uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if name == "" {
		return &Writer{input: i, client: &client{}}, 0
	}
	known := i.clients[name]
	if known == nil {
		if len(i.clients) >= maxClients {
			delete(i.clients, i.order[0])
			i.order = i.order[1:]
		}
		known = &client{}
		i.clients[name] = known
	} else {
		i.order = slices.DeleteFunc(i.order, func(other string) bool { return other == name })
	}
	i.order = append(i.order, name)
	known.turn++
	return &Writer{input: i, client: known, turn: known.turn}, known.accepted
}

// Write accepts a client's bytes for the command. It waits while too much is
// queued, until gone is closed. All of the bytes are accepted or none; ok is false
// for none. The input keeps the slice.
func (w *Writer) Write(data []byte, gone <-chan struct{}) (accepted uint64, ok bool) {
	i := w.input
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.queued >= maxQueuedInput && !i.ended && !i.broken {
		if i.room == nil {
			i.room = make(chan struct{})
		}
		room := i.room
		i.mu.Unlock()
		select {
		case <-room:
		case <-gone:
		}
		i.mu.Lock()
		select {
		case <-gone:
			return w.client.accepted, false
		default:
		}
	}
	if i.ended || w.client.turn != w.turn {
		return w.client.accepted, false
	}
	w.client.accepted += uint64(len(data))
	if !i.broken {
		i.heard(data)
		i.push(data)
	}
	return w.client.accepted, true
}

func (i *input) push(data []byte) {
	i.queue = append(i.queue, data)
	i.queued += len(data)
	if !i.writing {
		i.writing = true
		go i.empty()
	}
}

// empty writes the queue to the command.
func (i *input) empty() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.queue) > 0 && !i.broken {
		data := i.queue[0]
		i.mu.Unlock()
		_, err := i.file.Write(data)
		i.mu.Lock()
		if err != nil {
			i.broken = true
			break
		}
		i.queue[0] = nil
		i.queue = i.queue[1:]
		i.queued -= len(data)
		i.roomMade()
	}
	if i.broken {
		i.queue, i.queued = nil, 0
		i.roomMade()
	}
	i.writing = false
	if i.ended && !i.terminal {
		i.file.Close()
	}
}

func (i *input) roomMade() {
	if i.room != nil {
		close(i.room)
		i.room = nil
	}
}

// End closes the command's input after the queued bytes. On a terminal, which
// stays open, the command gets Ctrl-D.
func (w *Writer) End() {
	i := w.input
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return
	}
	if i.terminal {
		// What a terminal sends for Ctrl-D; it stays open for output.
		if !i.broken {
			i.push([]byte{4})
		}
		return
	}
	i.ended = true
	i.roomMade()
	if !i.writing {
		i.file.Close()
	}
}

// abandon drops the input, since the command has ended.
func (i *input) abandon() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.broken = true
	i.roomMade()
	if !i.ended && !i.terminal {
		i.ended = true
		// This also ends a write that is under way.
		i.file.Close()
	}
	i.ended = true
}
