package main

import (
	"os"
	"slices"
	"sync"
)

// maxQueuedInput bounds the bytes that wait for a command to read them. One
// frame more may be queued.
const maxQueuedInput = 256 << 10

// maxWriters is how many clients' counts a command remembers.
const maxWriters = 256

// input is what clients write to a command. It outlives their connections.
type input struct {
	file     *os.File
	terminal bool

	mu      sync.Mutex
	queue   [][]byte
	queued  int
	ended   bool // no more is accepted
	broken  bool // the command reads no more: what comes is dropped
	writing bool // a goroutine empties the queue
	room    chan struct{}
	writers map[string]*writer
	order   []string // names of writers, the longest unused first
}

// writer is one client's share of the input. Connections of one client follow
// each other; only the newest may write.
type writer struct {
	accepted uint64
	turn     uint64
}

func newInput(file *os.File, terminal bool) *input {
	return &input{file: file, terminal: terminal, writers: make(map[string]*writer)}
}

// open makes a connection the one that writes for a client. It returns how
// much of the client's input has been accepted before.
func (i *input) open(client string) (w *writer, turn, accepted uint64) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if client == "" {
		return &writer{}, 0, 0
	}
	w = i.writers[client]
	if w == nil {
		if len(i.writers) >= maxWriters {
			delete(i.writers, i.order[0])
			i.order = i.order[1:]
		}
		w = &writer{}
		i.writers[client] = w
	} else {
		i.order = slices.DeleteFunc(i.order, func(name string) bool { return name == client })
	}
	i.order = append(i.order, client)
	w.turn++
	return w, w.turn, w.accepted
}

// write accepts a client's bytes for the command, waiting while too much is
// queued. The bytes are accepted whole or not at all; ok is false when they
// were not. The input keeps the slice.
func (i *input) write(w *writer, turn uint64, data []byte, gone <-chan struct{}) (accepted uint64, ok bool) {
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
			return w.accepted, false
		default:
		}
	}
	if i.ended || w.turn != turn {
		return w.accepted, false
	}
	w.accepted += uint64(len(data))
	if !i.broken {
		i.push(data)
	}
	return w.accepted, true
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

// end closes the command's input after what is queued.
func (i *input) end() {
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

// abandon gives the input up: the command has ended.
func (i *input) abandon() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.broken = true
	i.roomMade()
	if !i.ended && !i.terminal {
		i.ended = true
		// Ends a write that is under way, too.
		i.file.Close()
	}
	i.ended = true
}
