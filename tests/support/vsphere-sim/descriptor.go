package main

import (
	"strings"
	"text/template"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type ovfManager struct {
	*simulator.OvfManager
	srv *server
}

func (m *ovfManager) CreateDescriptor(ctx *simulator.Context, req *types.CreateDescriptor) soap.HasFault {
	vm, ok := ctx.Map.Get(req.Obj).(*simulator.VirtualMachine)
	if !ok {
		return &methods.CreateDescriptorBody{Fault_: simulator.Fault("", &types.ManagedObjectNotFound{Obj: req.Obj})}
	}
	m.srv.add("descriptors_created", 1)
	name := req.Cdp.Name
	if name == "" {
		name = vm.Name
	}
	for i := range req.Cdp.OvfFiles { // the client names the device and the file, the capacity is ours
		f := &req.Cdp.OvfFiles[i]
		for _, e := range m.srv.exportedDisks(vm) {
			if f.DeviceId == e.key {
				f.Capacity = e.disk.Capacity
			}
		}
	}
	var out strings.Builder
	_ = descriptor.Execute(&out, map[string]any{"Name": name, "VM": vm.Config, "Files": req.Cdp.OvfFiles})
	return &methods.CreateDescriptorBody{Res: &types.CreateDescriptorResponse{
		Returnval: types.OvfCreateDescriptorResult{OvfDescriptor: out.String()}}}
}

var descriptor = template.Must(template.New("ovf").Parse(`<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>{{range $n, $f := .Files}}
    <File ovf:id="file{{$n}}" ovf:href="{{html $f.Path}}" ovf:size="{{$f.Size}}"/>{{end}}
  </References>
  <DiskSection><Info>The virtual disks</Info>{{range $n, $f := .Files}}
    <Disk ovf:diskId="vmdisk{{$n}}" ovf:fileRef="file{{$n}}" ovf:capacity="{{$f.Capacity}}" ovf:capacityAllocationUnits="byte" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>{{end}}
  </DiskSection>
  <NetworkSection><Info>The networks</Info><Network ovf:name="VM Network"><Description>The network</Description></Network></NetworkSection>
  <VirtualSystem ovf:id="{{html .Name}}">
    <Info>A virtual machine</Info>
    <Name>{{html .Name}}</Name>
    <OperatingSystemSection ovf:id="1"><Info>The guest</Info><Description>{{html .VM.GuestFullName}}</Description></OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>The hardware</Info>
      <System><vssd:ElementName>Virtual Hardware Family</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemIdentifier>{{html .Name}}</vssd:VirtualSystemIdentifier><vssd:VirtualSystemType>{{html .VM.Version}}</vssd:VirtualSystemType></System>
      <Item><rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits><rasd:ElementName>CPU</rasd:ElementName><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>{{.VM.Hardware.NumCPU}}</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits><rasd:ElementName>Memory</rasd:ElementName><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>{{.VM.Hardware.MemoryMB}}</rasd:VirtualQuantity></Item>
      <Item><rasd:Address>0</rasd:Address><rasd:ElementName>SCSI controller 0</rasd:ElementName><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
      <Item><rasd:AutomaticAllocation>true</rasd:AutomaticAllocation><rasd:Connection>VM Network</rasd:Connection><rasd:ElementName>Ethernet 1</rasd:ElementName><rasd:InstanceID>4</rasd:InstanceID><rasd:ResourceSubType>E1000</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>{{range $n, $f := .Files}}
      <Item><rasd:AddressOnParent>{{$n}}</rasd:AddressOnParent><rasd:ElementName>Hard disk {{$n}}</rasd:ElementName><rasd:HostResource>ovf:/disk/vmdisk{{$n}}</rasd:HostResource><rasd:InstanceID>1{{$n}}</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>{{end}}
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
`))
