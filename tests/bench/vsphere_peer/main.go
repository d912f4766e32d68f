// vsphere_peer exports a VM with govmomi's own nfc and ovf packages, as its users do: disk after disk into files, hashed on the way
// where asked for, then the descriptor and the manifest. It is what bench_vsphere.py compares with. `lease` only holds a lease open
// and prints its URLs, until its standard input ends.
//
//	vsphere_peer export -sdk URL -vm PATH -out FOLDER [-sha256]
//	vsphere_peer lease -sdk URL -vm PATH
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"hash"
	"io"
	"log"
	"net/url"
	"os"
	"path/filepath"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/nfc"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type exporter struct {
	vm       *object.VirtualMachine
	lease    *nfc.Lease
	info     *nfc.LeaseInfo
	folder   string
	hashed   bool
	manifest string
}

func (e *exporter) sum(name string, h hash.Hash) {
	e.manifest += fmt.Sprintf("SHA256(%s)= %x\n", name, h.Sum(nil))
}

// download fetches one file and gives its real size.
func (e *exporter) download(ctx context.Context, item nfc.FileItem) (types.OvfFile, error) {
	var options soap.Download
	h := sha256.New()
	if e.hashed {
		options.Writer = h
	}
	path := filepath.Join(e.folder, item.Path)
	if err := e.lease.DownloadFile(ctx, path, item, options); err != nil {
		return types.OvfFile{}, err
	}
	if e.hashed {
		e.sum(item.Path, h)
	}
	file := item.File()
	if stat, err := os.Stat(path); err == nil {
		file.Size = stat.Size()
	}
	return file, nil
}

func (e *exporter) describe(ctx context.Context, files []types.OvfFile) error {
	name := e.vm.Name()
	made, err := ovf.NewManager(e.vm.Client()).CreateDescriptor(ctx, e.vm, types.OvfCreateDescriptorParams{Name: name, OvfFiles: files})
	if err != nil {
		return err
	}
	if err = os.WriteFile(filepath.Join(e.folder, name+".ovf"), []byte(made.OvfDescriptor), 0o644); err != nil || !e.hashed {
		return err
	}
	h := sha256.New()
	_, _ = io.WriteString(h, made.OvfDescriptor)
	e.sum(name+".ovf", h)
	return os.WriteFile(filepath.Join(e.folder, name+".mf"), []byte(e.manifest), 0o644)
}

func (e *exporter) export(ctx context.Context) error {
	alive := e.lease.StartUpdater(ctx, e.info)
	defer alive.Done()
	var files []types.OvfFile
	for _, item := range e.info.Items {
		file, err := e.download(ctx, item)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	if err := e.lease.Complete(ctx); err != nil {
		return err
	}
	return e.describe(ctx, files)
}

func (e *exporter) hold(ctx context.Context) error {
	for _, item := range e.info.Items {
		fmt.Println(item.URL)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return e.lease.Complete(ctx)
}

func run(ctx context.Context, what, sdk, vm, folder string, hashed bool) error {
	u, err := url.Parse(sdk)
	if err != nil {
		return err
	}
	u.User = url.UserPassword(os.Getenv("VC_USER"), os.Getenv("VC_PASSWORD"))
	client, err := govmomi.NewClient(ctx, u, true)
	if err != nil {
		return err
	}
	defer func() { _ = client.Logout(ctx) }()
	e := &exporter{folder: folder, hashed: hashed}
	if e.vm, err = find.NewFinder(client.Client).VirtualMachine(ctx, vm); err != nil {
		return err
	}
	if e.lease, err = e.vm.Export(ctx); err != nil {
		return err
	}
	if e.info, err = e.lease.Wait(ctx, nil); err != nil {
		return err
	}
	if what == "lease" {
		return e.hold(ctx)
	}
	return e.export(ctx)
}

func main() {
	if len(os.Args) < 2 || (os.Args[1] != "export" && os.Args[1] != "lease") {
		log.Fatal("vsphere_peer export|lease -sdk URL -vm PATH [-out FOLDER] [-sha256]")
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	sdk := flags.String("sdk", "", "`URL` of the vCenter; VC_USER and VC_PASSWORD say who logs in")
	vm := flags.String("vm", "", "inventory `PATH` of a VM that is off")
	folder := flags.String("out", ".", "`FOLDER` for the files")
	hashed := flags.Bool("sha256", false, "hash the files and write a manifest")
	_ = flags.Parse(os.Args[2:])
	if err := run(context.Background(), os.Args[1], *sdk, *vm, *folder, *hashed); err != nil {
		log.Fatal(err)
	}
}
