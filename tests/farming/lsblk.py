"""Recorded outputs of lsblk."""

VIRTUAL_MACHINE = """{
   "blockdevices": [
      {"path":"/dev/zram0", "size":0, "type":"disk", "subsystems":"block", "rota":false,
       "rm":false, "tran":null},
      {"path":"/dev/zram1", "size":4294967296, "type":"disk", "subsystems":"block", "rota":false,
       "rm":false, "tran":null},
      {"path":"/dev/vda", "size":274877906944, "type":"disk", "subsystems":"block:virtio:pci",
       "rota":true, "rm":false, "tran":null}
   ]
}"""

SERVER = """{
   "blockdevices": [
      {"path":"/dev/sda", "size":4000787030016, "type":"disk", "subsystems":"block:scsi:pci",
       "rota":true, "rm":false, "tran":"sata"},
      {"path":"/dev/sdb", "size":4000787030016, "type":"disk", "subsystems":"block:scsi:pci",
       "rota":true, "rm":false, "tran":"sata"},
      {"path":"/dev/sdc", "size":31914983424, "type":"disk", "subsystems":"block:scsi:usb:pci",
       "rota":true, "rm":true, "tran":"usb"},
      {"path":"/dev/sdd", "size":500107862016, "type":"disk", "subsystems":"block:scsi:usb:pci",
       "rota":false, "rm":false, "tran":"usb"},
      {"path":"/dev/mmcblk0", "size":31914983424, "type":"disk", "subsystems":"block:mmc:pci",
       "rota":false, "rm":true, "tran":null},
      {"path":"/dev/sr0", "size":1073741312, "type":"rom", "subsystems":"block:scsi:pci",
       "rota":true, "rm":true, "tran":"sata"},
      {"path":"/dev/loop0", "size":73400320, "type":"loop", "subsystems":"block",
       "rota":false, "rm":false, "tran":null},
      {"path":"/dev/nbd0", "size":1073741824, "type":"disk", "subsystems":"block",
       "rota":false, "rm":false, "tran":null},
      {"path":"/dev/nvme0n1", "size":1000204886016, "type":"disk", "subsystems":"block:nvme:pci",
       "rota":false, "rm":false, "tran":"nvme"}
   ]
}"""

OLD_VERSION = """{
   "blockdevices": [
      {"path": "/dev/sda", "size": "500107862016", "type": "disk",
       "subsystems": "block:scsi:pci", "rota": "1", "rm": "0", "tran": "sata"},
      {"path": "/dev/sdb", "size": "240057409536", "type": "disk",
       "subsystems": "block:scsi:pci", "rota": "0", "rm": "1", "tran": "sata"}
   ]
}"""
