// The photos on which the detector was wrong, with its boxes, as a zip of photos and labelImg XML files.
//
// Each name begins with the time, so that unpacking into images/ writes over nobody's photo or labels.

import {zipSync} from "./fflate.js";

const LONGEST = 60; // letters that a photo's own name gives to the new one

// wrong_20261126_091500_1_IMG_42.jpg, without what file systems or terminals could not take
export function makeName(number, original, suffix, now = new Date()) {
  const two = (value) => String(value).padStart(2, "0");
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  const time = `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
  const plain = original.normalize("NFC").replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}-]+/gu, "_").replace(/^_+|_+$/g, "");
  return [`wrong_${day}_${time}_${number}`, ...(plain ? [[...plain].slice(0, LONGEST).join("")] : [])].join("_") + suffix;
}

const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

// The XML file of a photo, a text, as labelImg saves it, with edges rounded as `write_proposal` of
// tfod/inference/writers.py does. `boxes` are {name, box: [ymin, xmin, ymax, xmax] from 0 to 1}.
export function makeXml(filename, width, height, boxes) {
  const objects = boxes.map(({name, box}) => {
    const xmin = Math.min(Math.round(box[1] * width), width - 1), xmax = Math.max(Math.round(box[3] * width), xmin + 1);
    const ymin = Math.min(Math.round(box[0] * height), height - 1), ymax = Math.max(Math.round(box[2] * height), ymin + 1);
    return `	<object>
		<name>${escape(name)}</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>${xmin}</xmin>
			<ymin>${ymin}</ymin>
			<xmax>${xmax}</xmax>
			<ymax>${ymax}</ymax>
		</bndbox>
	</object>
`;
  });
  return `<annotation>
	<folder/>
	<filename>${escape(filename)}</filename>
	<path>${escape(filename)}</path>
	<source>
		<database>Unknown</database>
	</source>
	<size>
		<width>${width}</width>
		<height>${height}</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
${objects.join("")}</annotation>
`;
}

// The bytes of the zip. `kept` are {name, bytes (of the photo), width, height, boxes}. Where there is no box there is no
// XML file: an empty one would say that a person saw that there is nothing.
export function makeZip(kept) {
  const files = {};
  for (const {name, bytes, width, height, boxes} of kept) {
    files[name] = bytes;
    if (boxes.length) {
      const xml = makeXml(name, width, height, boxes);
      files[name.replace(/\.[^.]*$/, ".xml")] = new TextEncoder().encode(xml);
    }
  }
  return zipSync(files, {level: 0});
}
