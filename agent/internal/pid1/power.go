package pid1

import (
	"encoding/binary"
	"log"
	"os"
	"path/filepath"
	"strings"
)

const (
	inputEventSize = 24 // struct input_event on 64-bit kernels
	eventKey       = 1  // EV_KEY
	keyPower       = 116
)

// watchPowerButtons calls pressed when the host presses the power button.
// Without an input driver in the kernel there is nothing to watch.
func watchPowerButtons(pressed func()) {
	names, err := filepath.Glob("/sys/class/input/event*/device/name")
	if err != nil {
		return // the pattern is constant and valid
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(text), "Power Button") {
			continue
		}
		device := filepath.Join("/dev/input", filepath.Base(filepath.Dir(filepath.Dir(name))))
		file, err := os.Open(device)
		if err != nil {
			log.Printf("power button %s: %v", device, err)
			continue
		}
		go watchKeys(file, pressed)
	}
}

func watchKeys(file *os.File, pressed func()) {
	defer file.Close()
	buffer := make([]byte, 64*inputEventSize)
	for {
		count, err := file.Read(buffer)
		if err != nil {
			log.Printf("power button: %v", err)
			return
		}
		for event := buffer[:count]; len(event) >= inputEventSize; event = event[inputEventSize:] {
			kind := binary.NativeEndian.Uint16(event[16:])
			code := binary.NativeEndian.Uint16(event[18:])
			value := binary.NativeEndian.Uint32(event[20:])
			if kind == eventKey && code == keyPower && value == 1 {
				pressed()
			}
		}
	}
}
