package server

import (
	"log"
	"net"
	"sync/atomic"
	"time"
)

const handshakeDeadline = 30 * time.Second

// connection is one host connection and what it may do.
type connection struct {
	net.Conn
	shaken atomic.Bool
	timer  *time.Timer
}

func (c *connection) Close() error {
	c.timer.Stop()
	return c.Conn.Close()
}

// connections closes every connection of a listener that does not make the
// handshake in time.
type connections struct {
	net.Listener
	deadline time.Duration
}

func (l *connections) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	accepted := &connection{Conn: conn}
	accepted.timer = time.AfterFunc(l.deadline, func() {
		if !accepted.shaken.Load() {
			log.Printf("no handshake within %s; hanging up", l.deadline)
			conn.Close()
		}
	})
	return accepted, nil
}

type connectionKey struct{}
