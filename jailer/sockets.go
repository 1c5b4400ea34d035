package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// How many connections may wait while the program is busy: more than the worker makes at once.
const backlog = 16

// listener is a unix socket that accepts connections for the program.
type listener struct {
	// path is relative to the working directory, whose own path may be longer than the address of a socket.
	path       string
	descriptor int
}

// listenerList is a flag: PATH:DESCRIPTOR, separated by commas.
type listenerList []listener

func (list *listenerList) String() string { return fmt.Sprint([]listener(*list)) }

func (list *listenerList) Set(text string) error {
	for _, word := range strings.Split(text, ",") {
		path, number, _ := strings.Cut(word, ":")
		descriptor, err := strconv.Atoi(number)
		if err != nil || descriptor < 0 || path == "" {
			return fmt.Errorf("%q is no socket: PATH:DESCRIPTOR is needed", word)
		}
		*list = append(*list, listener{path, descriptor})
	}
	return nil
}

// listen makes a socket to which only the current user may connect, and replaces any file with its name.
func listen(given listener) error {
	wrap := func(err error) error { return fmt.Errorf("cannot make the socket %s: %w", given.path, err) }
	if err := syscall.Unlink(given.path); err != nil && !errors.Is(err, syscall.ENOENT) {
		return wrap(err)
	}
	socket, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return wrap(err)
	}
	mask := syscall.Umask(0o177)
	err = syscall.Bind(socket, &syscall.SockaddrUnix{Name: given.path})
	syscall.Umask(mask)
	if err != nil {
		return wrap(err)
	}
	if err := syscall.Listen(socket, backlog); err != nil {
		return wrap(err)
	}
	if err := handOver(socket, given.descriptor); err != nil {
		return wrap(err)
	}
	return nil
}
