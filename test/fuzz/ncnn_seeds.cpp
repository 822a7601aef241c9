// SPDX-License-Identifier: Apache-2.0
// Small ncnn models that hold nearly every layer that the importer knows.
#include <array>
#include <sstream>
#include <string>
#include <vector>

#include "test/fuzz/ncnn_pair.h"
#include "test/fuzz/seeds.h"

namespace firn::fuzz {
namespace {

struct Sketch {
  std::vector<std::string> layers;
  std::string weights;  // "t8": 8 tagged floats; "r8": without a tag; "i8": int8
};

float weight(size_t i) {
  return static_cast<float>((i * 37) % 101) / 64 - 0.5f;
}

std::string bin_of(const std::string& weights) {
  std::string bin;
  std::istringstream words(weights);
  const auto append = [&](const auto& value) {
    bin.append(reinterpret_cast<const char*>(&value), sizeof(value));
  };
  for (std::string word; words >> word;) {
    const size_t count = std::stoul(word.substr(1));
    if (word[0] == 't') append(uint32_t{0});
    if (word[0] == 'i') append(uint32_t{0x000D4B38});
    for (size_t i = 0; i < count; ++i) {
      if (word[0] == 'i') {
        bin.push_back(static_cast<char>(i * 11));
      } else {
        append(word[0] == 's' ? 20 + weight(i) : weight(i));
      }
    }
    bin.resize((bin.size() + 3) / 4 * 4);
  }
  return bin;
}

const std::array<Sketch, 11> kSketches{{
    {{"Input data 0 1 data 0=8 1=8 2=4",
      "Convolution conv 1 1 data c 0=8 1=3 3=2 4=1 5=1 6=288 9=2 -23310=1,0.1",
      "Split s 1 3 c c1 c2 c3",
      "ConvolutionDepthWise dw 1 1 c1 d 0=8 1=3 4=-233 6=72 7=8 9=3 10=0,6",
      "BinaryOp add 2 1 d c2 sum 0=0", "Pooling pool 1 1 sum p 0=1 1=2 2=2 3=1 6=1",
      "Pooling global 1 1 p g 0=0 4=1", "InnerProduct fc 1 1 g f 0=3 1=1 2=24",
      "Softmax prob 1 1 f prob 0=0", "Deconvolution de 1 1 c3 out 0=2 1=4 3=2 4=1 6=256"},
     "t288 r8 t72 t24 r3 t256"},
    {{"Input data 0 1 data 0=4 1=4 2=2", "Convolution a 1 1 data mid 0=4 1=1 5=1 6=8 8=102 9=1",
      "ConvolutionDepthWise b 1 1 mid next 0=4 1=3 4=1 6=36 7=4 8=101",
      "Pooling p 1 1 next g 0=1 4=1", "InnerProduct fc 1 1 g out 0=2 1=1 2=8 8=2"},
     "i8 r4 s4 s1 s1 i36 s4 s1 s1 i8 r2 s2 s1"},
    {{"Input data 0 1 data 0=6 1=4 2=4", "Slice cut 1 2 data a b -23300=2,1,-233 1=0",
      "Concat cat 2 1 b a c 0=0", "Permute turn 1 1 c d 0=3", "Reshape flat 1 1 d e 0=-1 1=4",
      "ExpandDims up 1 1 e f -23303=1,0", "Squeeze down 1 1 f g -23303=1,0",
      "Padding pad 1 1 g h 0=1 1=1 2=2 4=1", "Crop crop 1 1 h i -23309=1,1 -23310=1,-1 -23311=1,0",
      "Tile tile 1 1 i j 0=0 1=2", "Flatten f 1 1 j out"},
     ""},
    {{"Input data 0 1 data 0=4 1=4 2=8", "ShuffleChannel sh 1 1 data a 0=2",
      "PixelShuffle ps 1 1 a b 0=2", "Reorg re 1 1 b c 0=2", "Interp in 1 1 c d 0=2 1=2 2=2",
      "Interp cu 1 1 d e 0=3 3=5 4=5", "LRN lrn 1 1 e f 0=0 1=3", "Normalize n 1 1 f g 3=8 4=1",
      "BatchNorm bn 1 1 g h 0=8 1=0.1", "Scale sc 1 1 h i 0=8 1=1", "GroupNorm gn 1 1 i j 0=2 1=8",
      "InstanceNorm ins 1 1 j k 0=8", "MVN mvn 1 1 k l 0=1", "PReLU pr 1 1 l m 0=8",
      "Eltwise el 2 1 m m n 0=1 -23301=2,0.5,2", "LayerNorm ln 1 1 n o 0=5",
      "Reduction red 1 1 o p 0=3 1=0 -23303=1,1 5=1", "ArgMax am 1 1 p out 1=2"},
     "r8 r8 r8 r8 r8 r8 r8 r8 r8 r8 r8 r8 r5 r5"},
    {{"Input data 0 1 data 0=6 1=5", "Gemm g 1 1 data a 3=1 5=1 6=1 8=6 9=6 10=4",
      "MultiHeadAttention mha 1 1 a b 0=6 1=2 2=36", "LSTM lstm 1 1 b c 0=4 1=192 2=2",
      "GRU gru 1 1 c d 0=3 1=72", "RNN rnn 1 1 d e 0=2 1=6", "Split sp 1 2 e e1 e2",
      "MatMul mm 2 1 e1 e2 f 0=1", "GLU glu 1 1 f g 0=0", "CumulativeSum cs 1 1 g out 0=1"},
     "t36 t6 t36 r6 t36 r6 t36 r6 t36 r6 t192 t32 t128 t72 t12 t27 t6 t2 t4"},
    {{"Input data 0 1 data 0=4 1=4 2=2",
      "ReLU a 1 1 data b 0=0.1",
      "Clip c 1 1 b c 0=-1 1=1",
      "Sigmoid d 1 1 c d",
      "Mish m 1 1 d e",
      "HardSwish f 1 1 e f 0=0.2",
      "ELU g 1 1 f g",
      "SELU h 1 1 g h",
      "CELU i 1 1 h i",
      "GELU j 1 1 i j",
      "Softplus k 1 1 j k",
      "Exp l 1 1 k l 0=2",
      "Log m2 1 1 l m 0=3 2=2",
      "Power n 1 1 m n 0=2 1=0.5",
      "Threshold o 1 1 n o 0=0.2",
      "UnaryOp p 1 1 o p 0=5",
      "BinaryOp q 1 1 p q 0=9 1=1 2=2",
      "Shrink r 1 1 q r",
      "Dropout s 1 1 r s 0=0.5",
      "TanH t 1 1 s out"},
     ""},
    {{"Input data 0 1 data 0=2 1=2 2=2", "Convolution l 1 1 data loc 0=8 1=1 6=16",
      "Convolution c 1 1 data conf 0=4 1=1 6=8",
      "PriorBox p 1 1 data prior -23300=1,4 -23301=1,6 9=16 10=16 13=0.5",
      "Flatten fl 1 1 loc loc2", "Flatten fc 1 1 conf conf2",
      "DetectionOutput d 3 1 loc2 conf2 prior out 0=2 4=0.1"},
     "t16 t8"},
    {{"Input data 0 1 data 0=2 1=2 2=3", "Convolution c 1 1 data y 0=14 1=1 6=42",
      "Yolov3DetectionOutput d 1 1 y out 0=2 1=2 2=0.3 -23304=4,4,5,6,7 -23305=2,0,1 -23306=1,8"},
     "t42"},
    {{"Input data 0 1 data 0=4 1=4 2=2", "Unfold u 1 1 data a 1=3 4=1 18=0.5",
      "Fold f 1 1 a b 1=3 4=1 20=4", "Reshape r 1 1 b c 6=\"//(*(0w,0h),2),-1\"",
      "Einsum e 2 1 c c d -23300=9,105,106,44,107,106,45,62,105,107",
      "Interp i 2 1 b data g 0=2 9=\"+(1w,0h),max(0h,3)\"",
      "Crop k 1 1 g h 19=\"0,1\" 20=\"-(0c,1),-233\" 21=\"0,1\"", "Split s 1 2 h h1 h2",
      "InnerProduct n 1 1 h1 roi 0=4 2=96", "ROIAlign o 2 1 h2 roi l 0=2 1=2 3=1 4=1 5=1",
      "ROIPooling p 2 1 b roi m 0=2 1=2 2=0.5", "Concat q 2 1 l m v 0=0"},
     "t96"},
    {{"Input data 0 1 data 0=3 1=2 2=2", "Input info 0 1 info 0=3",
      "Convolution s 1 1 data score 0=18 1=1 6=36", "Convolution o 1 1 data box 0=36 1=1 6=72",
      "Proposal p 3 1 score box info rois 0=8 1=4 3=5",
      "PSROIPooling r 2 1 data rois pooled 0=2 1=1 2=0.1 3=1",
      "InnerProduct fc 1 1 pooled out 0=2 2=4"},
     "t36 t72 t4"},
    {{"Input data 0 1 data", "Convolution a 1 1 data b 0=4 1=3 4=1 6=72",
      "Pooling p 1 1 b c 0=0 1=3 2=2", "Interp i 1 1 c out 0=1 1=2 2=2"},
     "t72"},
}};

std::string param_of(const Sketch& sketch) {
  std::string text = "7767517\n" + std::to_string(sketch.layers.size()) + " 40\n";
  for (const std::string& layer : sketch.layers) text += layer + "\n";
  return text;
}

}  // namespace

std::vector<std::string> built_in_ncnn() {
  std::vector<std::string> files;
  for (const Sketch& sketch : kSketches) {
    files.push_back(join({param_of(sketch), bin_of(sketch.weights)}));
  }
  return files;
}

}  // namespace firn::fuzz
