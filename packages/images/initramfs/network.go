package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"unsafe"
)

// Every machine has the same addresses inside its own network namespace on the host, so that
// nothing changes when it is restored or forked.
var (
	address = [4]byte{172, 30, 0, 2}
	netmask = [4]byte{255, 255, 255, 252}
	gateway = [4]byte{172, 30, 0, 1}
)

const guestInterface = "eth0"

// interfaceRequest is the kernel's struct ifreq on 64-bit machines.
type interfaceRequest struct {
	name  [syscall.IFNAMSIZ]byte
	value [24]byte
}

// routeEntry is the kernel's struct rtentry on 64-bit machines.
type routeEntry struct {
	_                             uintptr
	destination, gateway, netmask [16]byte
	flags                         uint16
	_                             int16
	_                             [20]byte
	metric                        int16
	device                        uintptr
	mtu, window                   uintptr
	irtt                          uint16
	_                             [6]byte
}

func configureNetwork() error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("configure network: %w", err)
	}
	defer syscall.Close(socket)
	if err := bringUp(socket, "lo"); err != nil {
		return err
	}
	// The guest's network is IPv4 only: without this the kernel would solicit routers.
	err = os.WriteFile("/proc/sys/net/ipv6/conf/"+guestInterface+"/disable_ipv6", []byte("1"), 0o644)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("turn IPv6 off on %s: %w", guestInterface, err)
	}
	if err := setAddress(socket, syscall.SIOCSIFADDR, address); err != nil {
		return err
	}
	if err := setAddress(socket, syscall.SIOCSIFNETMASK, netmask); err != nil {
		return err
	}
	if err := bringUp(socket, guestInterface); err != nil {
		return err
	}
	route := routeEntry{
		destination: socketAddress([4]byte{}),
		netmask:     socketAddress([4]byte{}),
		gateway:     socketAddress(gateway),
		flags:       syscall.RTF_UP | syscall.RTF_GATEWAY,
	}
	if err := control(socket, syscall.SIOCADDRT, unsafe.Pointer(&route)); err != nil {
		return fmt.Errorf("add default route: %w", err)
	}
	return nil
}

func setAddress(socket int, operation uintptr, value [4]byte) error {
	request := newInterfaceRequest(guestInterface)
	encoded := socketAddress(value)
	copy(request.value[:], encoded[:])
	if err := control(socket, operation, unsafe.Pointer(&request)); err != nil {
		return fmt.Errorf("set address of %s: %w", guestInterface, err)
	}
	return nil
}

func bringUp(socket int, name string) error {
	request := newInterfaceRequest(name)
	binary.NativeEndian.PutUint16(request.value[:], syscall.IFF_UP)
	if err := control(socket, syscall.SIOCSIFFLAGS, unsafe.Pointer(&request)); err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}

func newInterfaceRequest(name string) interfaceRequest {
	var request interfaceRequest
	copy(request.name[:syscall.IFNAMSIZ-1], name)
	return request
}

// socketAddress is the kernel's struct sockaddr_in with port 0.
func socketAddress(value [4]byte) [16]byte {
	var encoded [16]byte
	binary.NativeEndian.PutUint16(encoded[:], syscall.AF_INET)
	copy(encoded[4:], value[:])
	return encoded
}

func control(socket int, operation uintptr, argument unsafe.Pointer) error {
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(socket), operation, uintptr(argument))
	if errno != 0 {
		return errno
	}
	return nil
}
