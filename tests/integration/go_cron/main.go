// Answers with robfig/cron what test_cron.py asks: each line of standard input is an expression in hexadecimal, a time zone and a
// time in milliseconds since 1970, apart by tabs; each answer is a line: "invalid", "never", or seconds since 1970.
package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

var zones = map[string]*time.Location{}

func zone(name string) *time.Location {
	if zones[name] == nil {
		l, err := time.LoadLocation(name)
		if err != nil {
			panic(err)
		}
		zones[name] = l
	}
	return zones[name]
}

// parse: a prefix without anything behind makes this version of the library panic.
func parse(expression string) (s cron.Schedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return cron.ParseStandard(expression)
}

func answer(line string) string {
	part := strings.Split(line, "\t")
	expression, err := hex.DecodeString(part[0])
	if err != nil {
		panic(err)
	}
	ms, err := strconv.ParseInt(part[2], 10, 64)
	if err != nil {
		panic(err)
	}
	s, err := parse(string(expression))
	if err != nil {
		return "invalid"
	}
	next := s.Next(time.UnixMilli(ms).In(zone(part[1])))
	if next.IsZero() {
		return "never"
	}
	return strconv.FormatInt(next.Unix(), 10)
}

func main() {
	in, out := bufio.NewScanner(os.Stdin), bufio.NewWriter(os.Stdout)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		fmt.Fprintln(out, answer(in.Text()))
	}
	if in.Err() != nil || out.Flush() != nil {
		os.Exit(1)
	}
}
